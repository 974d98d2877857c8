{% macro fixed_offset_ms(timezone) -%}
    {#- Milliseconds that clocks of `timezone` are ahead of UTC, all year round: `UTC`, `UTC-8`, `UTC+05:30`. None for any other
        text, which is the name of a zone. Known when dbt compiles. -#}
    {%- set found = modules.re.match("^UTC(?:([+-])([0-9]{1,2})(?::([0-9]{2}))?)?$", timezone | string) -%}
    {%- if found is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set minutes = (found.group(2) or 0) | int * 60 + (found.group(3) or 0) | int -%}
    {{ return((-1 if found.group(1) == "-" else 1) * minutes * 60 * 1000) }}
{%- endmacro %}
