{% macro json_scalar_to_float64(text) -%}
    {#- A number as FeatBit's versions wrote it, from the text of its JSON value: a number in any notation, a string that
        holds one, or a boolean (1/0). Null where it is missing, no number or beyond a 64-bit float; never a silent 0. -#}
    case
        when {{ text }} = 'true' then 1.0
        when {{ text }} = 'false' then 0.0
        when {{ flagmart.is_finite(flagmart.float64_or_null(text)) }} then {{ flagmart.float64_or_null(text) }}
    end
{%- endmacro %}
