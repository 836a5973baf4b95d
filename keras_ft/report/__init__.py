"""Write the pages that tell of a run, a comparison, a search, a benchmark."""

from keras_ft.report.benchmark_page import write_benchmark as write_benchmark
from keras_ft.report.comparison_page import write_comparison as write_comparison
from keras_ft.report.pages import REPORT as REPORT
from keras_ft.report.run_page import headline as headline
from keras_ft.report.run_page import write as write
from keras_ft.report.search_page import search_headline as search_headline
from keras_ft.report.search_page import search_lines as search_lines
from keras_ft.report.search_page import write_search as write_search
