{{ flagmart.chart_edges(ref("int_evaluation_charts")) }}
