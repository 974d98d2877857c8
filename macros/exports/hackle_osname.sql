{% macro hackle_osname(application_type) -%}
    {#- Hackle's required platform property `osname` from FeatBit's free-text application type: `Android` and `iOS` are the
        two values Hackle documents; what runs in a browser is `Web`, everything else, and what is unknown, `Server`. -#}
    case
        when {{ flagmart.matches("lower(" ~ application_type ~ ")", "(^|[^a-z])android($|[^a-z])") }} then 'Android'
        when {{ flagmart.matches("lower(" ~ application_type ~ ")", "(^|[^a-z])ios($|[^a-z])") }} then 'iOS'
        when {{ flagmart.matches("lower(" ~ application_type ~ ")", "(^|[^a-z])(browser|javascript|web)($|[^a-z])") }} then 'Web'
        else 'Server'
    end
{%- endmacro %}
