{% macro tell(query) -%}
    {#- For a test: says the texts of the one column of `query`, a line each, as the test is run, since of a failed test dbt itself
        says no more than how many rows it found. Renders to nothing. -#}
    {%- if execute and flags.WHICH in ("build", "test") -%}
        {%- for row in run_query(query).rows -%}
            {%- do log(row[0], info=true) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
