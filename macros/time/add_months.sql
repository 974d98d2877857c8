{% macro add_months(milliseconds, months) -%}
    {#- The wall clock `milliseconds` after 1970-01-01 00:00, a whole number of months later or, where negative, earlier; in
        milliseconds as well. In a month without that day it is the month's last. -#}
    {{ adapter.dispatch("add_months", "flagmart")(milliseconds, months) }}
{%- endmacro %}

{% macro default__add_months(milliseconds, months) -%}
    {{ flagmart.no_variant("add_months") }}
{%- endmacro %}

{% macro duckdb__add_months(milliseconds, months) -%}
    {{ flagmart.epoch_ms(flagmart.timestamp_from_ms(milliseconds) ~ " + to_months(cast(" ~ months ~ " as integer))") }}
{%- endmacro %}

{% macro clickhouse__add_months(milliseconds, months) -%}
    {{ flagmart.epoch_ms("addMonths(" ~ flagmart.timestamp_from_ms(milliseconds) ~ ", " ~ months ~ ")") }}
{%- endmacro %}
