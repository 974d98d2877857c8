{% macro segment_objection() -%}
    {#- Why Segment would answer 200 to a message and throw it away, null where it would not: what `message_id` and `payload` of a
        message of any type may measure. `payload_bytes_at_most` tells where a payload need not be made for that, which every count
        of the messages would do. -#}
    case
        when {{ flagmart.characters("message_id") }} > 100 then 'message_id_too_long'
        -- a case within, since an engine may turn an `and` around
        when
            case
                when payload_bytes_at_most <= 32 * 1024 then false
                else {{ flagmart.byte_length("payload") }} > 32 * 1024
            end
            then 'message_too_large'
    end
{%- endmacro %}
