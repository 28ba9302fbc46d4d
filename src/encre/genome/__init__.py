"""Reference genomes: names and lengths, intervals, the memory-mapped base cache, FASTA, 2bit and BED files."""
