{% macro string_map(pairs) -%}
    {#- A map of text to text from a dict of key to SQL expression (text); pairs whose value is null are left out, keys stand in the
        order given and differ by more than case. -#}
    {{ adapter.dispatch("string_map", "flagmart")(pairs) }}
{%- endmacro %}

{% macro default__string_map(pairs) -%}
    {{ flagmart.no_variant("string_map") }}
{%- endmacro %}

{% macro duckdb__string_map(pairs) -%}
    {#- Without nulls by a cast, eight times quicker than by lists. -#}
    case
        when {% for value in pairs.values() %}({{ value }}) is not null{{ " and " if not loop.last }}{% endfor %} then
            cast({
                {%- for key, value in pairs.items() %}
                {{ dbt.string_literal(key) }}: cast({{ value }} as varchar){{ "," if not loop.last }}
                {%- endfor %}
            } as map(varchar, varchar))
        else map_from_entries(list_filter([
            {%- for key, value in pairs.items() %}
            {key: {{ dbt.string_literal(key) }}, value: cast({{ value }} as varchar)}{{ "," if not loop.last }}
            {%- endfor %}
        ], lambda pair: struct_extract(pair, 'value') is not null))
    end
{%- endmacro %}

{% macro clickhouse__string_map(pairs) -%}
    {%- set listed -%}
        arrayFilter(pair -> isNotNull(pair.2), [
            {%- for key, value in pairs.items() %}
            ({{ dbt.string_literal(key) }}, toNullable({{ value }})){{ "," if not loop.last }}
            {%- endfor %}
        ])
    {%- endset -%}
    mapFromArrays(
        arrayMap(pair -> pair.1, {{ listed }}),
        arrayMap(pair -> assumeNotNull(pair.2), {{ listed }})
    )
{%- endmacro %}
