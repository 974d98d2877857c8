{% macro listed(conditions) -%}
    {#- The names of the conditions that hold, in the order given and joined by commas; null where none does. `conditions` is
        a dict of name to SQL condition; one that is null does not hold. -#}
    {{ adapter.dispatch("listed", "flagmart")(conditions) }}
{%- endmacro %}

{% macro default__listed(conditions) -%}
    {{ flagmart.no_variant("listed") }}
{%- endmacro %}

{% macro duckdb__listed(conditions) -%}
    case
        when {% for condition in conditions.values() %}({{ condition }}){{ " or " if not loop.last }}{% endfor %}
            then concat_ws(',',
                {%- for name, condition in conditions.items() %}
                case when {{ condition }} then '{{ name }}' end{{ "," if not loop.last }}
                {%- endfor %}
            )
    end
{%- endmacro %}

{% macro clickhouse__listed(conditions) -%}
    {#- one bit a condition, so that rows where none holds cost no text -#}
    {%- set held = [] -%}
    {%- for condition in conditions.values() %}{%- do held.append("ifNull(" ~ condition ~ ", false)") -%}{%- endfor -%}
    if({{ held | join(" or ") }}, arrayStringConcat(arrayMap(
        place -> [
            {%- for name in conditions %}'{{ name }}'{{ ", " if not loop.last }}{% endfor -%}
        ][place + 1],
        bitPositionsToArray(
            {%- for condition in held %}
            bitShiftLeft(toUInt16({{ condition }}), {{ loop.index0 }}){{ " +" if not loop.last }}
            {%- endfor %}
        )
    ), ','), null)
{%- endmacro %}
