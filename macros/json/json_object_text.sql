{% macro json_object_text(text) -%}
    {#- What `json_fields` and `is_json_object` take in place of `text`: the text in a form that the engine's parser can be
        given, malformed or not. A JSON object here is one of at most 1,000 objects and arrays (ClickHouse reads 1,024 within
        each other), with nothing but white space around it; a comma before a closing bracket, NaN and Infinity are forgiven.
        Null is none. -#}
    {{ adapter.dispatch("json_object_text", "flagmart")(text) }}
{%- endmacro %}

{% macro default__json_object_text(text) -%}
    {{ flagmart.no_variant("json_object_text") }}
{%- endmacro %}

{% macro duckdb__json_object_text(text) -%}
    {#- Null where it is surely none. Asking `json_valid` of each text would cost as much again as the parse, so here only of
        those that are cut short, the common fault, of long ones, and of those that begin or end with white space. Where there
        is no text, nothing is asked: most events have no `user`, and questions about '' were a seventh of the extraction. -#}
    case
        when {{ text }} is null then null
        when starts_with({{ text }}, '{') and ends_with({{ text }}, '}') and strlen({{ text }}) <= 2000 then {{ text }}
        when not starts_with({{ flagmart.trim_start(text) }}, '{') then null
        when not json_valid({{ text }}) then null
        when strlen({{ text }}) <= 2000 then {{ text }}
        when length(regexp_replace(regexp_replace({{ text }}, '"(?:[^"\\]|\\.)*"', '', 'gs'), '[^\[{]', '', 'g')) <= 1000
            then {{ text }}
    end
{%- endmacro %}

{% macro clickhouse__json_object_text(text) -%}
    {#- '' where it is surely none. The parser forgives nothing, refuses numbers beyond a 64-bit float and forgets how others
        were written: where that matters, they are looked for outside of strings, and commas left out, the others put into
        quotes, spelled as DuckDB spells them. All that is costly stands in the one branch of an `if`, so that it is worked
        out for the few rows that go there. -#}
    {%- set text = "ifNull(" ~ text ~ ", '')" -%}
    {#- whatever has to be mended looks odd, and begins with one of a few pairs of characters, which are looked for four times as
        fast: FeatBit's evaluations have none of them. So few texts are parsed a second time to see whether they are valid. -#}
    {%- set blanks = "[ \\\\t\\\\r\\\\n]*" -%}
    {%- set odd_number -%}':{{ blanks }}-?(?:[0-9]+(?:[.][0-9]+)?[eE]|[0-9]+[.]0+(?:[^0-9]|$)|0[.]0000|[0-9]{17,}[.])'{%- endset -%}
    {%- set odd -%}
        [
            {{ odd_number }},
            '[:,\\[]{{ blanks }}-?(?:[iI]|[nN][aA]|[0-9]{17}|[0-9]+(?:[.][0-9]+)?[eE][+]?[0-9]{3})',
            ',{{ blanks }}[\\]}]'
        ]
    {%- endset -%}
    {%- set unlike_an_evaluation -%}
        [':[-0-9NiI \\t\\r\\n\\[\\]}]', ':n[aA]', ',[-0-9nNiI \\t\\r\\n\\[\\]},]', '[\\[{][-0-9nNiI \\t\\r\\n\\[\\]},]']
    {%- endset -%}
    {%- set is_plain -%}
        (startsWith({{ text }}, '{') and length({{ text }}) <= 2000 and not (
            multiMatchAny({{ text }}, {{ unlike_an_evaluation }})
            and multiMatchAny({{ text }}, {{ odd }})
            and not (isValidJSON({{ text }}) and not match({{ text }}, {{ odd_number }}))
        ))
    {%- endset -%}
    {%- set token -%}'"(?:[^"\\\\]|\\\\.)*"|-?[0-9][-+.0-9eE]*|(?i:-?(?:nan|inf(?:inity)?))|[\\[{][ \\t\\r\\n]*,|,[ \\t\\r\\n]*[\\]}]|(?s:.)'{%- endset -%}
    {%- set mended -%}
        arrayStringConcat(arrayMap(part -> multiIf(
            startsWith(part, ',') and length(part) > 1, substring(part, length(part), 1),
            match(part, '^(?i:-?(?:nan|inf(?:inity)?))$'), concat('"', part, '"'),
            not match(part, '^-?(?:0|[1-9][0-9]*)(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?$'), part,
            isInfinite(toFloat64OrZero(part)), concat('"', part, '"'),
            not match(part, '[.eE]'), part,
            concat('"', {{ flagmart.float64_text("toFloat64OrZero(part)") }}, '"')
        ), extractAll({{ text }}, {{ token }})))
    {%- endset -%}
    if({{ is_plain }}, {{ text }}, multiIf(
        not startsWith({{ flagmart.trim_start(text) }}, '{'), '',
        length(replaceRegexpAll(replaceRegexpAll({{ text }}, '(?s)"(?:[^"\\\\]|\\\\.)*"', ''), '[^\\[{]', '')) <= 1000
        and isValidJSON({{ mended }}), {{ mended }},
        ''
    ))
{%- endmacro %}
