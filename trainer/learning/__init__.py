"""From a batch of rollouts to optimiser steps of actor and critic."""
