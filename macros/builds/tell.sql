{% macro tell(query) -%}
    {#- For a test: says the texts of the one column of `query`, a line each, as the test is run, since of a failed test dbt itself
        says no more than how many rows it found. Renders to nothing. -#}
    {%- if execute and flags.WHICH in ("build", "test") -%}
        {%- for text in run_query(query).columns[0].values() -%}
            {%- do log(text, info=true) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
