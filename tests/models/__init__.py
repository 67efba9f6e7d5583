"""What reports answer, reckoned once more in plain Python from what their pages say.

A model reads events in the endpoint's JSON and shares neither code nor SQL with the package: where both agree on worlds
drawn at random, a fault would have to be made twice.
"""
