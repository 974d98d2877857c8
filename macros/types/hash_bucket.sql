{% macro hash_bucket(text, buckets) -%}
    {#- One of the integers from 0 below `buckets`, always the same for the same `text` (never null), on both engines: by the first
        32 bits of its MD5. -#}
    {{ adapter.dispatch("hash_bucket", "flagmart")(text, buckets) }}
{%- endmacro %}

{% macro default__hash_bucket(text, buckets) -%}
    {{ flagmart.no_variant("hash_bucket") }}
{%- endmacro %}

{% macro duckdb__hash_bucket(text, buckets) -%}
    cast('0x' || substring(md5({{ text }}), 1, 8) as bigint) % {{ buckets }}
{%- endmacro %}

{% macro clickhouse__hash_bucket(text, buckets) -%}
    reinterpretAsUInt32(reverse(substring(MD5({{ text }}), 1, 4))) % {{ buckets }}
{%- endmacro %}
