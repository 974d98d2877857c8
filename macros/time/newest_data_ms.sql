{% macro newest_data_ms(counts) -%}
    {#- What charts without an end of their own end at: the var `flagmart_as_of`, else the end of the newest 15-minute bucket
        of the relation `counts`; never the clock. Milliseconds since 1970 UTC, 64-bit; null where there is no bucket. -#}
    {#- the default is said again, since a model of another project does not see this one's -#}
    {%- set as_of = var("flagmart_as_of", "") -%}
    {%- if as_of -%}
        {{ flagmart.epoch_ms(flagmart.timestamp_literal(as_of)) }}
    {%- else -%}
        {#- of no rows, one engine's max is 0 and the other's null; no event is of 1970-01-01 -#}
        (select nullif(max(counts.bucket_start_ms), 0) + 15 * 60 * 1000 from {{ counts }} as counts)
    {%- endif -%}
{%- endmacro %}
