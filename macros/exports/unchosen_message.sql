{% macro unchosen_message() -%}
    {#- Why an event of stg_featbit__events is not to be sent as a message, by the vars `flagmart_message_events` and
        `flagmart_messages_after`; null where it is. `client_time` is its clock, never null. -#}
    {%- set chosen = flagmart.chosen_of("flagmart_message_events") -%}
    {%- set after = flagmart.messages_after() -%}
    {%- if chosen or after -%}
        case
            {% if chosen -%}
                when
                    event not in ({% for event in chosen -%}
                        {{ dbt.string_literal(dbt.escape_single_quotes(event)) }}{{ ", " if not loop.last }}
                    {%- endfor %})
                    then 'event_not_chosen'
            {%- endif %}
            {% if after -%}
                when client_time <= {{ flagmart.timestamp_literal(after) }} then 'not_after_chosen_time'
            {%- endif %}
        end
    {%- else -%}
        {{ flagmart.null_text() }}
    {%- endif -%}
{%- endmacro %}

{% macro messages_after() -%}
    {#- The var `flagmart_messages_after`: text of a UTC time, '' where none is given; an error says what is wrong with it. -#}
    {%- set after = var("flagmart_messages_after") | string -%}
    {%- if after and not modules.re.match("^[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?)?$", after) -%}
        {{ exceptions.raise_compiler_error(
            "the var flagmart_messages_after says " ~ after ~ "; write a UTC time like 2026-01-31 00:00:00.000"
        ) }}
    {%- endif -%}
    {{ return(after) }}
{%- endmacro %}

{% macro chooses_messages() -%}
    {#- Whether the vars leave out any event as a message. -#}
    {{ return(flagmart.chosen_of("flagmart_message_events") | length > 0 or flagmart.messages_after() != "") }}
{%- endmacro %}
