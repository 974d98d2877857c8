{% macro newest_data_ms(bucket_start_ms) -%}
    {#- What charts without an end of their own end at, as an aggregate over 15-minute buckets: the var `flagmart_as_of`, else
        the end of the newest bucket; never the clock. Milliseconds since 1970 UTC; 0 where there is no bucket. -#}
    {%- if var("flagmart_as_of") -%}
        {{ flagmart.epoch_ms(flagmart.timestamp_literal(var("flagmart_as_of"))) }}
    {%- else -%}
        coalesce(max({{ bucket_start_ms }}) + 15 * 60 * 1000, 0)
    {%- endif -%}
{%- endmacro %}
