{% macro hackle_osname(application_type) -%}
    {#- Hackle's required platform property `osname` from FeatBit's free-text application type: `Android` and `iOS` are the
        two values Hackle documents; what runs on a server or in a browser is `Server` or `Web`. -#}
    case
        when lower({{ application_type }}) like '%android%' then 'Android'
        when lower({{ application_type }}) like '%ios%' then 'iOS'
        when lower({{ application_type }}) like '%browser%' or lower({{ application_type }}) like '%javascript%' then 'Web'
        else 'Server'
    end
{%- endmacro %}
