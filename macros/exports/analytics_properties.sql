{% macro analytics_properties(first={}) -%}
    {#- JSON text of what tools for product analytics take as properties of an event of int_exports__events. `first` are members,
        as for `json_object`, that stand before them. -#}
    {%- set evaluation = {
        "env_id": flagmart.json_string("env_id"),
        "flag_key": flagmart.json_string("flag_key"),
        "variation_id": flagmart.json_string("variation_id"),
        "send_to_experiment": flagmart.json_bool("send_to_experiment"),
        "route": flagmart.json_string("route"),
        "user_name": flagmart.json_string("user_name"),
    } -%}
    {%- set metric = {
        "env_id": flagmart.json_string("env_id"),
        "type": flagmart.json_string("event"),
        "value": flagmart.json_number("numeric_value"),
        "application_type": flagmart.json_string("application_type"),
        "route": flagmart.json_string("route"),
        "user_name": flagmart.json_string("user_name"),
    } -%}
    case
        when is_evaluation then {{ flagmart.json_object(dict(first, **evaluation)) }}
        else {{ flagmart.json_object(dict(first, **metric)) }}
    end
{%- endmacro %}

{% macro analytics_texts() -%}
    {#- The columns of int_exports__events whose texts such a tool gets: what is too long for it is cut there. -#}
    {{ return([
        "event_name", "user_key", "env_id", "flag_key", "variation_id", "event", "application_type", "route", "user_name"
    ]) }}
{%- endmacro %}
