{% macro run(sql) -%}
    {#- Runs one statement that gives no rows. -#}
    {%- call statement("flagmart_run") -%}
        {{ sql }}
    {%- endcall -%}
{%- endmacro %}
