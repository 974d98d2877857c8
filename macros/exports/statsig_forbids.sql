{% macro statsig_forbids(name) -%}
    {#- Whether the text `name` holds a character for which Statsig drops what is named so: a backslash, one of
        []{}<>#=;&$%| , a line end or NUL. -#}
    {{ flagmart.contains_any(name, [
        flagmart.character(92), "'['", "']'", "'{'", "'}'", "'<'", "'>'", "'#'", "'='", "';'", "'&'", "'$'", "'%'", "'|'",
        flagmart.character(0), flagmart.character(10), flagmart.character(13),
    ]) }}
{%- endmacro %}
