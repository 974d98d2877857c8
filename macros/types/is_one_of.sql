{% macro is_one_of(text, values) -%}
    {#- Whether `text` equals one of the texts in the list `values`; false for an empty list. Case counts. -#}
    {%- if values -%}
        {{ text }} in (
            {%- for value in values -%}
                {{ dbt.string_literal(dbt.escape_single_quotes(value | string)) }}{{ ", " if not loop.last }}
            {%- endfor -%}
        )
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}
