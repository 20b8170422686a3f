// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";

/// @title Who may do what with AISA's contracts on one chain.
/// @notice OpenZeppelin's AccessManager as it is; `Roles` numbers what it hands out.
contract Authority is AccessManager {
    /// @param admin Hands out and takes back every role: a multisig or a timelock, never a hot key.
    constructor(address admin) AccessManager(admin) {}
}
