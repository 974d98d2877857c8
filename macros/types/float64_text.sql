{% macro float64_text(number) -%}
    {#- A finite 64-bit float as text, in the fewest digits that say it: 0.1, 17.0, 1e+16, 1.5e-05; an exponent from 1e16 on
        and below 0.0001. Null for null. -#}
    {{ adapter.dispatch("float64_text", "flagmart")(number) }}
{%- endmacro %}

{% macro default__float64_text(number) -%}
    {{ flagmart.no_variant("float64_text") }}
{%- endmacro %}

{% macro duckdb__float64_text(number) -%}
    cast({{ number }} as varchar)
{%- endmacro %}

{% macro clickhouse__float64_text(number) -%}
    {#- ClickHouse's own text has the same digits, but an exponent only from 1e21 on and below 0.000001 -#}
    {%- set text = "toString(abs(" ~ number ~ "))" -%}
    {%- set whole = "replaceRegexpOne(" ~ text ~ ", '0*$', '')" -%}
    {%- set fraction = "replaceRegexpOne(" ~ text ~ ", '^0[.]0*', '')" -%}
    concat(
        if(startsWith(toString({{ number }}), '-'), '-', ''),
        multiIf(
            {{ number }} = 0, '0.0',
            position({{ text }}, 'e-') > 0, replaceRegexpOne({{ text }}, 'e-([0-9])$', 'e-0\\1'),
            position({{ text }}, 'e') > 0, replaceOne({{ text }}, 'e', 'e+'),
            abs({{ number }}) >= 1e16, concat(
                substring({{ whole }}, 1, 1),
                if(length({{ whole }}) > 1, concat('.', substring({{ whole }}, 2)), ''),
                'e+', toString(length({{ text }}) - 1)
            ),
            abs({{ number }}) < 1e-4, concat(
                substring({{ fraction }}, 1, 1),
                if(length({{ fraction }}) > 1, concat('.', substring({{ fraction }}, 2)), ''),
                'e-0', toString(length({{ text }}) - length({{ fraction }}) - 1)
            ),
            position({{ text }}, '.') = 0, concat({{ text }}, '.0'),
            {{ text }}
        )
    )
{%- endmacro %}
