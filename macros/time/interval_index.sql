{% macro interval_index(milliseconds, start_ms, interval_ms) -%}
    {#- Which interval an instant falls into: 0 for the one that begins at `start_ms`, negative before it. All three are
        64-bit milliseconds; `interval_ms` is positive. This is the one definition of a bucket. -#}
    {{ flagmart.floor_div("(" ~ milliseconds ~ ") - (" ~ start_ms ~ ")", interval_ms) }}
{%- endmacro %}
