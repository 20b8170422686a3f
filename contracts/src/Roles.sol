// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The numbers of the roles that an `Authority` hands out; 0 is its admin.
library Roles {
    /// @notice May make new aiUSD.
    uint64 internal constant MINTER = 1;
    /// @notice May destroy aiUSD that it holds itself.
    uint64 internal constant BURNER = 2;
    /// @notice May stop every movement of aiUSD, and let it go on.
    uint64 internal constant PAUSER = 3;
    /// @notice May freeze an account by an order, and end that freeze early.
    uint64 internal constant FREEZER = 4;
}
