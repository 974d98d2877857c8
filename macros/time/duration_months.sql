{% macro duration_months(text) -%}
    {#- A duration written `<n>mo` in months, 64-bit; null where `text` is none. All that is longer than the 38 years whose
        time zones are known counts as 40 years, so that dates stay within what every engine has. -#}
    case
        when {{ text }} like '%mo'
            then least({{ flagmart.int64_or_null("substr(" ~ text ~ ", 1, length(" ~ text ~ ") - 2)", digits=8) }}, 480)
    end
{%- endmacro %}
