"""Every benchmark by name, with what it measures."""

CATALOGUE = {
    "ledger": "Budget reservations and consent snapshots of many people, on disk.",
    "person_level": "One private step against plain SGD on the same rows.",
    "idle_round": "A round in which nobody computes: our processes against Flower as shipped.",
    "learning": "How well the demo's tasks learn: federated against central, private against not.",
    "lift_weight": "A deadlift told from the other lifts: federated, central and trees; needs $PACELINE_DATA.",
    "privacy_utility": "What privacy costs, by ε and by people, with noise that parties share; twenty minutes.",
    "generation": "How much like people generated motion is: real, invented and generated windows as teachers.",
    "recommendation": "How well recommendations are: federated, private, central, and by popularity.",
}
"""Those that ``python -m simulations.benchmarks`` runs, in this order; each writes into docs/benchmarks."""

EXCHANGE = (
    "What the exchange costs and loses: accuracy and error against bits, speeds, masks and bytes beside Flower's."
)
"""``paceline bench exchange`` takes three quarters of an hour, part by part; what is done is kept."""

SIMULATION = "How fast whole federations are simulated: ours against a plain loop, pfl and Flower with Ray."
"""``paceline bench simulation`` takes an hour and installs the peers; it runs only where it is asked for."""
