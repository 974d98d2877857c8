{% macro hackle_properties() -%}
    {#- The var `flagmart_hackle_properties` as a list of [name, column of int_exports__events]; an error says what is wrong with
        it. Hackle takes 64 properties an event, of which a metric event has 4 already, and 128 characters a name. -#}
    {%- set given = var("flagmart_hackle_properties") -%}
    {%- set columns = ["account_id", "distinct_id", "project_id", "tag_0", "tag_1", "tag_2", "tag_3"] -%}
    {%- set fault = "the var flagmart_hackle_properties " -%}
    {%- if given is not mapping -%}
        {{ exceptions.raise_compiler_error(fault ~ "is a mapping of property to column, for example {plan: tag_1}") }}
    {%- endif -%}
    {%- if given | length > 60 -%}
        {{ exceptions.raise_compiler_error(fault ~ "has " ~ given | length ~ " properties; Hackle takes 60 beside the built-in ones") }}
    {%- endif -%}
    {%- set pairs = [] -%}
    {%- for name, column in given.items() -%}
        {%- if column not in columns -%}
            {{ exceptions.raise_compiler_error(fault ~ "takes " ~ name ~ " from " ~ column ~ "; it may take " ~ columns | join(", ")) }}
        {%- endif -%}
        {%- if name | length > 128 or not modules.re.match("^[A-Za-z0-9_]+$", name) -%}
            {{ exceptions.raise_compiler_error(fault ~ "names " ~ name ~ "; a name has up to 128 of a-z, 0-9 and _") }}
        {%- endif -%}
        {%- do pairs.append([name, column]) -%}
    {%- endfor -%}
    {{ return(pairs) }}
{%- endmacro %}
