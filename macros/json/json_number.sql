{% macro json_number(number) -%}
    {#- A 64-bit float as a JSON number in one canonical form: whole numbers up to 2^53 without a point (17), all others in the fewest digits (1.5, 1e20, 1.5e-7); `null` for null and for what JSON cannot say. -#}
    {{ adapter.dispatch("json_number", "flagmart")(number) }}
{%- endmacro %}

{% macro default__json_number(number) -%}
    {{ flagmart.no_variant("json_number") }}
{%- endmacro %}

{% macro duckdb__json_number(number) -%}
    case
        when {{ number }} is null or not isfinite({{ number }}) then 'null'
        when {{ number }} = trunc({{ number }}) and abs({{ number }}) <= 9007199254740992
            then cast(cast({{ number }} as bigint) as varchar)
        else regexp_replace(replace(replace({{ flagmart.float64_text(number) }}, 'e+', 'e'), 'e-0', 'e-'), '[.]0$', '')
    end
{%- endmacro %}

{% macro clickhouse__json_number(number) -%}
    assumeNotNull(multiIf(
        {{ number }} is null or not isFinite({{ number }}), 'null',
        {{ number }} = trunc({{ number }}) and abs({{ number }}) <= 9007199254740992,
            toString(toInt64({{ number }})),
        replaceRegexpOne(replaceOne(replaceOne({{ flagmart.float64_text(number) }}, 'e+', 'e'), 'e-0', 'e-'), '[.]0$', '')
    ))
{%- endmacro %}
