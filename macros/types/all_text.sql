{% macro all_text(relation) -%}
    {#- For a hook before a model: stops it where a column of the seed `relation` is no text, which dbt guesses of numbers,
        dates and blanks unless it is told. Renders to nothing. -#}
    {%- if execute -%}
        {%- for column in adapter.get_columns_in_relation(relation) if not column.is_string() -%}
            {{ exceptions.raise_compiler_error(
                relation.identifier ~ "." ~ column.name ~ " is " ~ column.dtype ~ " and not text; say `" ~ column.name
                ~ ": String` under the seed's +column_types in dbt_project.yml, then run `dbt build --full-refresh`"
            ) }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
