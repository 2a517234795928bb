"""What the page says beside its figures."""

OPENING = """Unit: person (add or remove one). ε is for all rounds together, by RDP. Every score is on people whose rows
were not trained on. *At each node*: each party adds the full noise to its own sum. *Shared*: each adds a part, only the
sum of all parties is ever bare, and that sum carries the noise (`noise = "shared"`,
[ADR 14](../adr/0014-shared-noise.md)). Both ran as tasks of a federation, with contracts, ledgers, messages, masks and
Skellam noise in whole numbers; what was computed directly instead says so.
"""
TEN = """Ten parties of equal size, instead of five of 40 to 8 %:
"""
AGREEMENT = """## Over the protocol and computed directly

Most of "What bought what" is computed directly: clipped sums and Gaussian noise in one process, without messages. That
is the same but for the randomness, also where noise is shared and the protocol's is Skellam of n/h times the variance:
"""
WHAT_BOUGHT_WHAT = """## How to read it

- **More people** is what privacy asks for. A node's noise is the same for 100 people as for 6,400, so its share of the
  sum falls with their number, and one set of terms serves all sizes.
- **Noise once for all** means √5 times less noise with five parties: about a factor of four in ε. The more parties,
  the more it is worth.
- **A pre-trained start alone buys nothing**: as many noisy rounds as from zero wander away from it. With a third of the
  rounds and half the step, so that it is corrected rather than learned anew, it buys as much at ε = 2 as noise once for
  all, and both together do better at ε = 2 than the base at ε = 8.
- **Fewer rounds** help where noise rules (small ε) and cost where it does not.
- **Few parameters**: noise grows with the square root of how many numbers are trained. At ε = 2 the head's 112 hold,
  while all 14,119 learn little; at ε = 8 both come to the same in these rounds.
- **Few parameters have a price of their own.** The targets are met against the same 112 numbers without privacy. The
  whole model without privacy learns far more from many people than any 112 numbers can; that distance, in the table of
  promises, is what privacy costs today if many parameters are wanted. Some trials of the whole model at ε = 8 with
  1,600 people, 12 to 16 rounds each, did no better than the head; longer training was not tried.
- **A quarter of the people per round** costs accuracy at equal ε: sampling lowers σ, but the sum shrinks faster. It is
  there to save time, and costs nothing visible where people are many.
- **More local steps** bring more per round, up to a point, and cost no privacy: the clip bounds the whole update.
"""
TERMS = """δ is the largest power of ten that is at most 1 / (10 × people). One set of terms serves every ε and every
size, and only the noise differs: a node adds σ × C per coordinate and round, however many people it has.
"""
HOW = """## How it was measured

- Updates, clipping, noise and accounting are the functions that nodes use; there are no stores and no messages. What
  nodes add to that (consent, budget, signatures) does not change the numbers.
- Synthetic people: `exercise_recognition.invent`, each wearing the watch turned by up to 60° about an axis of their
  own, with sensor gains of log-σ 0.2 and a log-normal number of windows (σ 0.5, 8 on average). Parties have 40, 25, 15,
  12 and 8 % of them; 400 other people judge. The head reads 15 fixed statistics per window, which are computed once;
  the random turning of windows in training is left out except where the convolutions are trained.
- The pre-trained start comes from 60 people of another seed who all wear one watch the same way, turned by 40° about
  its dial axis: the same kind of motion, so it flatters pre-training more than reality would. On the real watch data
  a synthetic start scores 0.57 where training reaches 0.88 ([learning](learning.md)).
- *No DP*: federated averaging of the same parameters, weighted by rows; where everything is trained, 12 rounds of 3
  epochs. *Clipped, no noise*: the private terms with next to no noise.
- ± is the standard deviation over seeds of noise and sampling, for one draw of people: 5 seeds up to 400 people and
  for changes, 3 up to 10,000, 2 beyond, and 2 where everything is trained.
- The terms for watches were chosen on other synthetic people (other seeds) at 100, 400 and 1,600 people. The runners'
  are those of the demo ([learning](learning.md) says how they were found). The lifters' were chosen among a dozen
  with the judging federations in view, at ε = 1, where noise hardly matters: they decide how far 25 numbers get in 24
  rounds.
- Searching for terms costs privacy that no ledger counts. On public and synthetic data that is nobody's loss.
- Runners judged are from all other states, lifters from all other federations. A lifter who competes in several
  belongs to the party with most of their entries, so that a person's ε is not spent at two parties.
"""
