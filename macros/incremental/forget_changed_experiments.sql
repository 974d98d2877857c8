{% macro forget_changed_experiments(experiments, also_of_readers=false) -%}
    {#- For the pre-hook of a table whose rows belong to an experiment each (`digest`): takes out all rows of experiments that are no
        longer there in this form, and of those whose rows are not as many as were noted, since an insert was cut off or an older
        copy was put back. Rows of an experiment are only ever added, so their number tells its states apart.
        `also_of_readers`: notes of the models that read this one go with its own. Renders to nothing. -#}
    {%- if execute -%}
        {%- set notes = flagmart.finished_experiments() -%}
        {%- set of_this = "node_id = " ~ flagmart.finished_by() -%}
        {%- if is_incremental() -%}
            {%- do flagmart.run(
                "delete from " ~ notes ~ " where " ~ of_this
                ~ " and (digest, kept_rows) not in (" ~ flagmart.kept_of_experiments(experiments) ~ ")"
            ) -%}
            {%- set finished = "(select noted.digest from " ~ notes ~ " as noted where noted." ~ of_this ~ ")" -%}
            {%- if also_of_readers -%}
                {%- do flagmart.run("delete from " ~ notes ~ " where digest not in " ~ finished) -%}
            {%- endif -%}
            {%- do flagmart.run("delete from " ~ this ~ " where digest not in " ~ finished) -%}
        {%- else -%}
            {%- do flagmart.run("delete from " ~ notes ~ " where " ~ ("1 = 1" if also_of_readers else of_this)) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
