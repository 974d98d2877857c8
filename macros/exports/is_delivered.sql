{% macro is_delivered(name) -%}
    {#- Whether the delivery `name` is one that the var `flagmart_further_deliveries` asks for: a list of their names, or `all`. -#}
    {%- if var("flagmart_further_deliveries") == "all" -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(name in flagmart.chosen_of("flagmart_further_deliveries", flagmart.further_deliveries().keys())) }}
{%- endmacro %}

{% macro further_deliveries() -%}
    {#- Deliveries that are built only where they are asked for: name to the model that says which events it leaves out, or none
        where it leaves out none. -#}
    {{ return({
        "event_hub_events": "int_event_hubs__events",
        "statsig_log_events": "int_statsig__events",
        "mixpanel_events": "int_mixpanel__events",
        "amplitude_events": "int_amplitude__events",
        "posthog_events": "int_posthog__events",
        "cloudevents": "int_cloudevents__events",
        "segment_identifies": "int_segment__identifies",
        "statsig_exposures": "int_statsig__exposures",
    }) }}
{%- endmacro %}
