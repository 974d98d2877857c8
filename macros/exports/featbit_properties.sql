{% macro featbit_properties(timestamp, user_id=none) -%}
    {#- JSON text of an event of int_exports__events under the names that FeatBit's own exporter gives its columns. `timestamp` is
        the name of the client's clock, `user_id` that of the user's key; none leaves the key out. -#}
    {%- set head = {"Id": flagmart.json_string("event_id"), "EnvId": flagmart.json_string("env_id")} -%}
    {%- do head.update({timestamp: flagmart.json_string(flagmart.iso_timestamp("occurred_at"))}) -%}
    {%- if user_id -%}
        {%- do head.update({user_id: flagmart.json_string("user_key")}) -%}
    {%- endif -%}
    {%- set tail = {
        "Username": flagmart.json_string("user_name"),
        "Tag0": flagmart.json_string("tag_0"),
        "Tag1": flagmart.json_string("tag_1"),
        "Tag2": flagmart.json_string("tag_2"),
        "Tag3": flagmart.json_string("tag_3"),
    } -%}
    {%- set evaluation = {
        "VariationId": flagmart.json_string("variation_id"),
        "DistinctId": flagmart.json_string("distinct_id"),
        "EventName": flagmart.json_string("event"),
        "CHTimestamp": flagmart.json_string(flagmart.iso_timestamp("source_ingested_at")),
        "Route": flagmart.json_string("route"),
        "FeatureFlagId": flagmart.json_string("flag_id"),
        "AccountId": flagmart.json_string("account_id"),
        "ProjectId": flagmart.json_string("project_id"),
        "FeatureFlagKey": flagmart.json_string("flag_key"),
        "SendToExperiment": flagmart.json_bool("send_to_experiment"),
    } -%}
    {%- set metric = {
        "DistinctId": flagmart.json_string("distinct_id"),
        "EventName": flagmart.json_string("event"),
        "CustomEventName": flagmart.json_string("event_name"),
        "NumericValue": flagmart.json_number("numeric_value"),
        "ApplicationType": flagmart.json_string("application_type"),
        "CHTimestamp": flagmart.json_string(flagmart.iso_timestamp("source_ingested_at")),
        "Route": flagmart.json_string("route"),
        "AccountId": flagmart.json_string("account_id"),
        "ProjectId": flagmart.json_string("project_id"),
    } -%}
    case
        when is_evaluation
            then {{ flagmart.json_object(dict(dict(head, **evaluation), **tail)) }}
        else {{ flagmart.json_object(dict(dict(head, **metric), **tail)) }}
    end
{%- endmacro %}
