{% macro is_experiment_tool(name) -%}
    {#- Whether the var `flagmart_experiment_tools` asks for the shapes of the tool `name`: a list of their names, or `all`. -#}
    {%- if var("flagmart_experiment_tools") == "all" -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(name in flagmart.chosen_of(
        "flagmart_experiment_tools", ["growthbook", "eppo", "statsig_whn", "opentelemetry"]
    )) }}
{%- endmacro %}
