{{ config(order_by="(chart_name, env_id, flag_key, variation_id, interval_index)") }}

{{ flagmart.chart_users(ref("int_evaluation_charts"), ref("int_evaluation_chart_edges")) }}
