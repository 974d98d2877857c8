{% macro integers_below(count) -%}
    {#- One row for each integer from 0 to `count` - 1 (64-bit), in a select list; no row where `count` is 0. -#}
    {{ adapter.dispatch("integers_below", "flagmart")(count) }}
{%- endmacro %}

{% macro default__integers_below(count) -%}
    {{ flagmart.no_variant("integers_below") }}
{%- endmacro %}

{% macro duckdb__integers_below(count) -%}
    unnest(range(cast({{ count }} as bigint)))
{%- endmacro %}

{% macro clickhouse__integers_below(count) -%}
    arrayJoin(arrayMap(i -> toInt64(i), range(toUInt64(greatest({{ count }}, 0)))))
{%- endmacro %}
