"""Run folders -> one offline HTML page and a model card; reads files alone, never loads torch."""
