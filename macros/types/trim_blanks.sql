{% macro trim_blanks(text) -%}
    {#- `text` without leading and trailing blanks, tabs and line ends. -#}
    {{ adapter.dispatch("trim_blanks", "flagmart")(text) }}
{%- endmacro %}

{% macro default__trim_blanks(text) -%}
    {{ flagmart.no_variant("trim_blanks") }}
{%- endmacro %}

{% macro duckdb__trim_blanks(text) -%}
    trim({{ text }}, {{ dbt.string_literal(' ') }} || chr(9) || chr(10) || chr(13))
{%- endmacro %}
