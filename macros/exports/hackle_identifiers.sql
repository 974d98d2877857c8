{% macro hackle_identifiers(pairs) -%}
    {#- Hackle's identifiers from a dict of key to SQL expression (text, never null): a map, or JSON text of the same, as the var
        `flagmart_hackle_identifiers` says. -#}
    {%- set form = var("flagmart_hackle_identifiers") -%}
    {%- if form == "map" -%}
        {{ flagmart.string_map(pairs) }}
    {%- elif form == "json" -%}
        {%- set members = {} -%}
        {%- for key, value in pairs.items() -%}
            {%- do members.update({key: flagmart.json_string(value)}) -%}
        {%- endfor -%}
        {{ flagmart.json_object(members) }}
    {%- else -%}
        {{ exceptions.raise_compiler_error("the var flagmart_hackle_identifiers says " ~ form ~ "; it may say map or json") }}
    {%- endif -%}
{%- endmacro %}
