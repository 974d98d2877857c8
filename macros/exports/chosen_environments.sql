{% macro chosen_environments() -%}
    {#- The var `flagmart_env_ids`: a list of environment ids, empty where none is chosen. -#}
    {%- set chosen = var("flagmart_env_ids") -%}
    {%- if chosen is string or chosen is mapping or chosen is not iterable -%}
        {{ exceptions.raise_compiler_error("the var flagmart_env_ids is a list of environment ids, for example [" ~ chosen ~ "]") }}
    {%- endif -%}
    {{ return(chosen) }}
{%- endmacro %}
