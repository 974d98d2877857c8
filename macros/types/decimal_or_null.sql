{% macro decimal_or_null(number, precision, scale) -%}
    {#- The 64-bit float `number` as decimal(`precision`, `scale`), rounded half away from zero; null where it does not fit, for
        null and for what is not finite. From 10 to 18 digits before the point. What stands before it is taken over exactly
        and only the rest is multiplied, since the engines' own casts differ in their last digits and at halves. -#}
    {{ adapter.dispatch("decimal_or_null", "flagmart")(number, precision, scale) }}
{%- endmacro %}

{% macro default__decimal_or_null(number, precision, scale) -%}
    {{ flagmart.no_variant("decimal_or_null") }}
{%- endmacro %}

{% macro duckdb__decimal_or_null(number, precision, scale) -%}
    case
        when abs({{ number }}) < 1e{{ precision - scale }}
            then cast(
                cast(cast(trunc({{ number }}) as bigint) as decimal({{ precision }}, {{ scale }}))
                + cast(cast({{ flagmart.scaled_fraction(number, scale) }} as bigint) as decimal({{ precision }}, 0))
                * cast('{{ flagmart.one_in(scale) }}' as decimal({{ scale }}, {{ scale }}))
                as decimal({{ precision }}, {{ scale }})
            )
    end
{%- endmacro %}

{% macro clickhouse__decimal_or_null(number, precision, scale) -%}
    {#- by functions that pass a null on: the branch that is not taken may be worked out all the same -#}
    if(
        abs({{ number }}) < 1e{{ precision - scale }},
        cast(
            toDecimal128(toInt64(trunc({{ number }})), {{ scale }})
            + toDecimal128(toInt64({{ flagmart.scaled_fraction(number, scale) }}), 0) * toDecimal128('{{ flagmart.one_in(scale) }}', {{ scale }})
            as Nullable(Decimal({{ precision }}, {{ scale }}))
        ),
        null
    )
{%- endmacro %}

{% macro scaled_fraction(number, scale) -%}
    {#- What stands behind the point of a float, times 10^scale and rounded half away from zero; a whole number, still a float.
        Each step is one that IEEE 754 defines to the last bit. -#}
    trunc(({{ number }} - trunc({{ number }})) * 1e{{ scale }} + case when {{ number }} < 0 then -0.5 else 0.5 end)
{%- endmacro %}

{% macro one_in(scale) -%}
    {#- 10^-scale as text: 0.000001. -#}
    0.{{ "0" * (scale - 1) }}1
{%- endmacro %}
