"""The prism: components as declarations, grouped into six faces, scored from 0 to 100."""
