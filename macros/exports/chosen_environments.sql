{% macro chosen_environments() -%}
    {#- The var `flagmart_env_ids`: a list of environment ids, empty where none is chosen. -#}
    {{ return(flagmart.chosen_of("flagmart_env_ids")) }}
{%- endmacro %}
