{% macro is_blank(text) -%}
    {#- Whether `text` holds nothing but blanks, tabs and line ends. Hardly any does, so the first character is asked first:
        it is below '!' in all that are blank. -#}
    ({{ text }} < '!' and {{ flagmart.trim_start(text) }} = '')
{%- endmacro %}
