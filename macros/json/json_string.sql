{% macro json_string(text) -%}
    {#- `text` as a JSON string with its quotes, in one canonical form; `null` for null. Non-ASCII characters stand as they
        are but for U+2028 and U+2029, which end lines in JavaScript and are written as escapes; a slash stands as it is. -#}
    {{ adapter.dispatch("json_string", "flagmart")(text) }}
{%- endmacro %}

{% macro default__json_string(text) -%}
    {{ flagmart.no_variant("json_string") }}
{%- endmacro %}

{% macro duckdb__json_string(text) -%}
    {#- looked for before they are replaced: a replace copies what it is given, though nothing is found -#}
    case
        when contains({{ text }}, chr(8232)) or contains({{ text }}, chr(8233))
            then replace(replace(cast(to_json({{ text }}) as varchar), chr(8232), '\u2028'), chr(8233), '\u2029')
        else coalesce(cast(to_json({{ text }}) as varchar), 'null')
    end
{%- endmacro %}

{% macro clickhouse__json_string(text) -%}
    replaceAll(coalesce(toJSONString({{ text }}), 'null'), '\\/', '/')
{%- endmacro %}
