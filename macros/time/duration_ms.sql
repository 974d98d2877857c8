{% macro duration_ms(text) -%}
    {#- A duration written `<n>` and one of m, h, d, w (minutes, hours, days of 24 hours, weeks) in milliseconds, 64-bit;
        null where `text` is none of these, or `<n>` has more than 8 digits. -#}
    ({{ flagmart.int64_or_null("substr(" ~ text ~ ", 1, length(" ~ text ~ ") - 1)", digits=8) }} * case right({{ text }}, 1)
        when 'm' then cast(60000 as {{ dbt.type_bigint() }})
        when 'h' then cast(3600000 as {{ dbt.type_bigint() }})
        when 'd' then cast(86400000 as {{ dbt.type_bigint() }})
        when 'w' then cast(604800000 as {{ dbt.type_bigint() }})
    end)
{%- endmacro %}
