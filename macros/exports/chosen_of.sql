{% macro chosen_of(name, allowed=none) -%}
    {#- The var `name`: a list of texts, each one of `allowed` where that is given; an error names the var and what it may say. -#}
    {%- set chosen = var(name) -%}
    {%- if chosen is string or chosen is mapping or chosen is not iterable -%}
        {{ exceptions.raise_compiler_error("the var " ~ name ~ " is a list, for example [" ~ (chosen or "a") ~ "]") }}
    {%- endif -%}
    {%- for value in chosen if allowed is not none and value not in allowed -%}
        {{ exceptions.raise_compiler_error(
            "the var " ~ name ~ " says " ~ value ~ "; it may say " ~ allowed | join(", ")
        ) }}
    {%- endfor -%}
    {{ return(chosen) }}
{%- endmacro %}
