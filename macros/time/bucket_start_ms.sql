{% macro bucket_start_ms(milliseconds, interval_ms, start_ms=0) -%}
    {#- The beginning of the interval an instant falls into, in milliseconds since 1970; see `interval_index`. -#}
    (({{ flagmart.interval_index(milliseconds, start_ms, interval_ms) }}) * ({{ interval_ms }}) + ({{ start_ms }}))
{%- endmacro %}
