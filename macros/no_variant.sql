{% macro no_variant(macro_name) -%}
    {#- What a macro without a variant for the engine in use answers: an error that names the macro and the engine. -#}
    {{ exceptions.raise_compiler_error(
        "flagmart." ~ macro_name ~ " has no variant for " ~ target.type ~ "; add " ~ target.type ~ "__" ~ macro_name ~ " beside it"
    ) }}
{%- endmacro %}
