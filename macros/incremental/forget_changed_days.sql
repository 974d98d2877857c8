{% macro forget_changed_days(days) -%}
    {#- For the pre-hook of a table kept by days (`partition_on`) whose rows of a day depend on that day's input alone: takes out
        every day that is to be worked out anew, also one that no longer has any input. `days` is the relation that has the
        input's digest as it now is: (partition_on, digest). A day stays where it was finished from the same input and its rows
        are those it was left with; the note of any other goes first, then its rows. The model inserts what
        `is_unfinished_day` says, and `record_finished_days` notes it. Renders to nothing. -#}
    {%- if execute -%}
        {%- set of_this = "node_id = " ~ flagmart.finished_by() -%}
        {%- if is_incremental() -%}
            {%- do flagmart.run(
                "delete from " ~ flagmart.finished_days() ~ " where " ~ of_this
                ~ " and (day_on, digest, kept_rows, newest_ingested_at) not in (" ~ flagmart.days_that_stand(days) ~ ")"
            ) -%}
            {%- do flagmart.run("delete from " ~ this ~ " where " ~ flagmart.is_unfinished_day("partition_on")) -%}
        {%- else -%}
            {%- do flagmart.run("delete from " ~ flagmart.finished_days() ~ " where " ~ of_this) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
